-- OdontologyApp's schema as this project reads it, with an invented clinic in it. MySQL 8.0+ and MariaDB 10.6+.
-- The demo loads it; by hand: mysql --default-character-set=utf8mb4 ontology_db < config/clinic/ontology_db.sql
-- Every person in it is made up. Accents and emoji are there on purpose: encodings break on them first.

SET NAMES utf8mb4;
-- The present schema: parameters of procedures take their character set from it.
ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

CREATE TABLE branches (
  id INT AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(100) NOT NULL,
  address VARCHAR(255),
  icon VARCHAR(16),
  status ENUM('active', 'inactive') NOT NULL DEFAULT 'active',
  created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE users (
  id INT AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(100) NOT NULL,
  username VARCHAR(50) NOT NULL UNIQUE,
  email VARCHAR(100) UNIQUE,
  password VARCHAR(255) NOT NULL,
  role ENUM('admin', 'doctor', 'secretary') NOT NULL DEFAULT 'secretary',
  initials VARCHAR(5),
  branch_id INT,
  status ENUM('active', 'inactive') NOT NULL DEFAULT 'active',
  created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  FOREIGN KEY (branch_id) REFERENCES branches (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE doctors (
  id INT AUTO_INCREMENT PRIMARY KEY,
  user_id INT NOT NULL,
  specialty VARCHAR(100),
  license_number VARCHAR(50),
  status ENUM('active', 'inactive') NOT NULL DEFAULT 'active',
  FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE doctor_branches (
  doctor_id INT NOT NULL,
  branch_id INT NOT NULL,
  PRIMARY KEY (doctor_id, branch_id),
  FOREIGN KEY (doctor_id) REFERENCES doctors (id) ON DELETE CASCADE,
  FOREIGN KEY (branch_id) REFERENCES branches (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE patients (
  id INT AUTO_INCREMENT PRIMARY KEY,
  medrecno INT,
  first_name VARCHAR(100) NOT NULL,
  last_name VARCHAR(100) NOT NULL,
  cedula VARCHAR(20) UNIQUE,
  birth_date DATE,
  phone VARCHAR(20),
  email VARCHAR(100),
  sex ENUM('masculino', 'femenino', 'otro'),
  blood_group VARCHAR(5),
  allergies TEXT,
  branch_id INT,
  status ENUM('active', 'inactive', 'on_hold') NOT NULL DEFAULT 'active',
  uuid CHAR(36) UNIQUE,
  created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  FOREIGN KEY (branch_id) REFERENCES branches (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE appointments (
  id INT AUTO_INCREMENT PRIMARY KEY,
  patient_id INT NOT NULL,
  doctor_id INT NOT NULL,
  branch_id INT NOT NULL,
  appointment_date DATE NOT NULL,
  appointment_time TIME NOT NULL,
  duration_minutes INT DEFAULT 30,
  status ENUM('scheduled', 'confirmed', 'waiting', 'completed', 'cancelled') DEFAULT 'scheduled',
  notes TEXT,
  uuid CHAR(36) UNIQUE,
  created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  KEY (appointment_date, doctor_id),
  FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE CASCADE,
  FOREIGN KEY (doctor_id) REFERENCES doctors (id) ON DELETE CASCADE,
  FOREIGN KEY (branch_id) REFERENCES branches (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE services (
  id INT AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(100) NOT NULL,
  description TEXT,
  price DECIMAL(10, 2) NOT NULL,
  created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE appointment_services (
  appointment_id INT NOT NULL,
  service_id INT NOT NULL,
  quantity INT NOT NULL DEFAULT 1,
  PRIMARY KEY (appointment_id, service_id),
  FOREIGN KEY (appointment_id) REFERENCES appointments (id) ON DELETE CASCADE,
  FOREIGN KEY (service_id) REFERENCES services (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE medical_records (
  id INT AUTO_INCREMENT PRIMARY KEY,
  patient_id INT NOT NULL,
  doctor_id INT NOT NULL,
  record_date TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  motif TEXT,
  diagnosis TEXT,
  treatment TEXT,
  future_plan TEXT,
  next_visit DATE,
  observations TEXT,
  FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE CASCADE,
  FOREIGN KEY (doctor_id) REFERENCES doctors (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE budgets (
  id INT AUTO_INCREMENT PRIMARY KEY,
  patient_id INT NOT NULL,
  doctor_id INT NOT NULL,
  total_amount DECIMAL(10, 2) NOT NULL DEFAULT 0.00,
  status ENUM('draft', 'pending', 'approved', 'rejected', 'completed') NOT NULL DEFAULT 'pending',
  notes TEXT,
  created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE CASCADE,
  FOREIGN KEY (doctor_id) REFERENCES doctors (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE budget_items (
  id INT AUTO_INCREMENT PRIMARY KEY,
  budget_id INT NOT NULL,
  service_id INT NOT NULL,
  quantity INT NOT NULL DEFAULT 1,
  unit_price DECIMAL(10, 2) NOT NULL,
  subtotal DECIMAL(10, 2) NOT NULL,
  FOREIGN KEY (budget_id) REFERENCES budgets (id) ON DELETE CASCADE,
  FOREIGN KEY (service_id) REFERENCES services (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE payments (
  id INT AUTO_INCREMENT PRIMARY KEY,
  patient_id INT NOT NULL,
  budget_id INT,
  amount DECIMAL(10, 2) NOT NULL,
  payment_method ENUM('cash', 'credit_card', 'debit_card', 'transfer', 'check') NOT NULL DEFAULT 'cash',
  status ENUM('completed', 'refunded') NOT NULL DEFAULT 'completed',
  notes TEXT,
  processed_by INT,
  created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE CASCADE,
  FOREIGN KEY (budget_id) REFERENCES budgets (id) ON DELETE SET NULL,
  FOREIGN KEY (processed_by) REFERENCES users (id) ON DELETE SET NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE consents (
  id INT AUTO_INCREMENT PRIMARY KEY,
  patient_id INT NOT NULL,
  procedure_name VARCHAR(150) NOT NULL,
  content TEXT,
  status ENUM('pending', 'signed', 'revoked') NOT NULL DEFAULT 'pending',
  signed_at DATETIME,
  created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE inventory (
  id INT AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(100) NOT NULL,
  description TEXT,
  category VARCHAR(50),
  unit VARCHAR(20),
  stock INT NOT NULL DEFAULT 0,
  min_stock INT NOT NULL DEFAULT 0,
  price DECIMAL(10, 2),
  updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE notifications (
  id INT AUTO_INCREMENT PRIMARY KEY,
  user_id INT NOT NULL,
  title VARCHAR(150) NOT NULL,
  message TEXT,
  is_read TINYINT(1) NOT NULL DEFAULT 0,
  created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE audit_logs (
  id INT AUTO_INCREMENT PRIMARY KEY,
  user_id INT,
  action VARCHAR(50) NOT NULL,
  entity VARCHAR(50),
  entity_id INT,
  details JSON,
  created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- The application writes through procedures. @app_user_id is the signed-in user, where the application sets it.

DELIMITER //

CREATE PROCEDURE sp_create_patient (
  IN p_first_name VARCHAR(100), IN p_last_name VARCHAR(100), IN p_cedula VARCHAR(20), IN p_birth_date DATE,
  IN p_phone VARCHAR(20), IN p_email VARCHAR(100), IN p_branch_id INT
)
BEGIN
  INSERT INTO patients (medrecno, first_name, last_name, cedula, birth_date, phone, email, branch_id, uuid)
  SELECT COALESCE(MAX(medrecno), 1000) + 1, p_first_name, p_last_name, p_cedula, p_birth_date, p_phone, p_email,
         p_branch_id, UUID()
  FROM patients;
  SELECT LAST_INSERT_ID() AS patient_id;
END //

CREATE PROCEDURE sp_create_appointment (
  IN p_patient_id INT, IN p_doctor_id INT, IN p_branch_id INT, IN p_date DATE, IN p_time TIME, IN p_duration INT,
  IN p_notes TEXT
)
BEGIN
  INSERT INTO appointments
    (patient_id, doctor_id, branch_id, appointment_date, appointment_time, duration_minutes, notes, uuid)
  VALUES (p_patient_id, p_doctor_id, p_branch_id, p_date, p_time, COALESCE(p_duration, 30), p_notes, UUID());
  SELECT LAST_INSERT_ID() AS appointment_id;
END //

CREATE PROCEDURE sp_confirm_appointment (IN p_appointment_id INT)
BEGIN
  UPDATE appointments SET status = 'confirmed' WHERE id = p_appointment_id AND status = 'scheduled';
  SELECT ROW_COUNT() AS affected;
END //

-- p_services: [{"service_id": 1, "quantity": 2}, …]
CREATE PROCEDURE sp_complete_appointment (IN p_appointment_id INT, IN p_services JSON)
BEGIN
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;
  START TRANSACTION;
  INSERT INTO appointment_services (appointment_id, service_id, quantity)
  SELECT p_appointment_id, item.service_id, item.quantity
  FROM JSON_TABLE(p_services, '$[*]' COLUMNS (
    service_id INT PATH '$.service_id', quantity INT PATH '$.quantity' DEFAULT '1' ON EMPTY
  )) AS item;
  UPDATE appointments SET status = 'completed' WHERE id = p_appointment_id;
  COMMIT;
  SELECT p_appointment_id AS appointment_id;
END //

CREATE PROCEDURE sp_cancel_appointment (IN p_appointment_id INT, IN p_reason TEXT)
BEGIN
  UPDATE appointments SET status = 'cancelled', notes = CONCAT_WS(' · ', notes, p_reason)
  WHERE id = p_appointment_id AND status IN ('scheduled', 'confirmed', 'waiting');
  SELECT ROW_COUNT() AS affected;
END //

CREATE PROCEDURE sp_log_reminder (IN p_appointment_id INT, IN p_method VARCHAR(20))
BEGIN
  INSERT INTO audit_logs (user_id, action, entity, entity_id, details)
  VALUES (@app_user_id, 'reminder_sent', 'appointment', p_appointment_id,
          -- The sum keeps it a number: MariaDB quotes a bare parameter.
          JSON_OBJECT('appointment_id', p_appointment_id + 0, 'method', p_method));
  SELECT LAST_INSERT_ID() AS audit_log_id;
END //

-- p_items as p_services above. The budget is born with total 0.00 and gets its items and its total before the commit.
CREATE PROCEDURE sp_create_budget (IN p_patient_id INT, IN p_doctor_id INT, IN p_items JSON, IN p_notes TEXT)
BEGIN
  DECLARE v_budget_id INT;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;
  START TRANSACTION;
  INSERT INTO budgets (patient_id, doctor_id, total_amount, notes) VALUES (p_patient_id, p_doctor_id, 0.00, p_notes);
  SET v_budget_id = LAST_INSERT_ID();
  INSERT INTO budget_items (budget_id, service_id, quantity, unit_price, subtotal)
  SELECT v_budget_id, services.id, item.quantity, services.price, services.price * item.quantity
  FROM JSON_TABLE(p_items, '$[*]' COLUMNS (
    position FOR ORDINALITY, service_id INT PATH '$.service_id', quantity INT PATH '$.quantity' DEFAULT '1' ON EMPTY
  )) AS item
  JOIN services ON services.id = item.service_id
  ORDER BY item.position;
  UPDATE budgets SET total_amount = (SELECT SUM(subtotal) FROM budget_items WHERE budget_id = v_budget_id)
  WHERE id = v_budget_id;
  COMMIT;
  SELECT v_budget_id AS budget_id;
END //

CREATE PROCEDURE sp_approve_budget (IN p_budget_id INT)
BEGIN
  UPDATE budgets SET status = 'approved' WHERE id = p_budget_id AND status IN ('draft', 'pending');
  SELECT ROW_COUNT() AS affected;
END //

CREATE PROCEDURE sp_register_payment (
  IN p_patient_id INT, IN p_budget_id INT, IN p_amount DECIMAL(10, 2), IN p_payment_method VARCHAR(20),
  IN p_notes TEXT
)
BEGIN
  INSERT INTO payments (patient_id, budget_id, amount, payment_method, notes, processed_by)
  VALUES (p_patient_id, p_budget_id, p_amount, p_payment_method, p_notes, @app_user_id);
  SELECT LAST_INSERT_ID() AS payment_id;
END //

CREATE PROCEDURE sp_refund_payment (IN p_payment_id INT)
BEGIN
  UPDATE payments SET status = 'refunded' WHERE id = p_payment_id AND status = 'completed';
  SELECT ROW_COUNT() AS affected;
END //

CREATE PROCEDURE sp_create_medical_record (
  IN p_patient_id INT, IN p_doctor_id INT, IN p_motif TEXT, IN p_diagnosis TEXT, IN p_treatment TEXT
)
BEGIN
  INSERT INTO medical_records (patient_id, doctor_id, motif, diagnosis, treatment)
  VALUES (p_patient_id, p_doctor_id, p_motif, p_diagnosis, p_treatment);
  SELECT LAST_INSERT_ID() AS record_id;
END //

CREATE PROCEDURE sp_sign_consent (IN p_consent_id INT)
BEGIN
  UPDATE consents SET status = 'signed', signed_at = NOW() WHERE id = p_consent_id AND status = 'pending';
  SELECT ROW_COUNT() AS affected;
END //

CREATE PROCEDURE sp_use_inventory (IN p_item_id INT, IN p_quantity INT)
BEGIN
  UPDATE inventory SET stock = stock - p_quantity WHERE id = p_item_id AND stock >= p_quantity;
  SELECT ROW_COUNT() AS affected;
END //

DELIMITER ;

INSERT INTO branches (id, name, address, icon) VALUES
  (1, 'Sucursal Piantini', 'Av. Núñez de Cáceres 14; 2.º piso', '🦷'),
  (2, 'Sucursal Gazcue', 'C/ Dr. Báez 7', '🏥');

-- No password here can be signed in with: '!' is no hash.
INSERT INTO users (id, name, username, email, password, role, initials, branch_id) VALUES
  (1, 'Verónica Peña', 'vpena', 'vpena@clinica.example', '!', 'admin', 'VP', 1),
  (2, 'Dra. Aránzazu Ibáñez', 'aibanez', 'aibanez@clinica.example', '!', 'doctor', 'AI', 1),
  (3, 'Dr. Óscar Muñoz', 'omunoz', 'omunoz@clinica.example', '!', 'doctor', 'OM', 2),
  (4, 'Belén Agüero', 'baguero', 'baguero@clinica.example', '!', 'secretary', 'BA', 1);

INSERT INTO doctors (id, user_id, specialty, license_number) VALUES
  (1, 2, 'Ortodoncia', 'EXQ-1042'),
  (2, 3, 'Cirugía maxilofacial', 'EXQ-2077');

INSERT INTO doctor_branches (doctor_id, branch_id) VALUES (1, 1), (1, 2), (2, 2);

INSERT INTO patients
  (id, medrecno, first_name, last_name, cedula, birth_date, phone, email, sex, blood_group, allergies, branch_id, uuid)
VALUES
  (1, 1001, 'José Ángel', 'Ñáñez Güell', '001-0000001-1', '1984-02-29', '809-555-0101', 'jose@correo.example',
   'masculino', 'O+', 'Penicilina', 1, '00000000-0000-4000-8000-000000000001'),
  (2, 1002, 'María Begoña', 'Piñeyro Cáceres', '001-0000002-2', '1991-11-05', '809-555-0102', 'begona@correo.example',
   'femenino', 'A-', NULL, 1, '00000000-0000-4000-8000-000000000002'),
  (3, 1003, 'Íñigo', 'Echevarría "Chiqui" O''Neill', '001-0000003-3', '2015-07-19', '829-555-0103', NULL,
   'masculino', 'B+', 'Látex 🧤', 1, '00000000-0000-4000-8000-000000000003'),
  (4, 1004, 'Zoé 🌸', 'Peña y Álvarez', '001-0000004-4', '2001-01-31', '849-555-0104', 'zoe@correo.example',
   'femenino', 'AB+', NULL, 2, '00000000-0000-4000-8000-000000000004'),
  (5, 1005, 'Yudelkis', 'de la Concepción Mañón', '001-0000005-5', '1978-12-24', '809-555-0105', NULL,
   'otro', 'O-', 'Ibuprofeno; mariscos', 2, NULL),
  (6, 1006, 'Agustín', 'Güílamo Núñez', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2, NULL);

INSERT INTO services (id, name, description, price) VALUES
  (1, 'Limpieza', 'Profilaxis y pulido ✨', 1500.00),
  (2, 'Extracción', 'Extracción simple', 2500.50),
  (3, 'Ortodoncia, mensualidad', NULL, 3800.00),
  (4, 'Radiografía panorámica', 'Se entrega en papel y en línea', 1200.75);

INSERT INTO appointments
  (id, patient_id, doctor_id, branch_id, appointment_date, appointment_time, duration_minutes, status, notes, uuid)
VALUES
  (1, 1, 1, 1, '2026-03-06', '09:00:00', 30, 'completed', NULL, '00000000-0000-4000-8000-000000000101'),
  (2, 2, 1, 1, '2026-03-07', '10:00:00', 45, 'scheduled', 'Prefiere por la mañana ☀️', '00000000-0000-4000-8000-000000000102'),
  (3, 3, 1, 1, '2026-03-07', '11:30:00', 30, 'confirmed', NULL, '00000000-0000-4000-8000-000000000103'),
  (4, 4, 2, 2, '2026-03-07', '15:00:00', 60, 'scheduled', NULL, '00000000-0000-4000-8000-000000000104');

INSERT INTO appointment_services (appointment_id, service_id, quantity) VALUES (1, 1, 1);

INSERT INTO budgets (id, patient_id, doctor_id, total_amount, status, notes) VALUES
  (1, 1, 1, 5300.00, 'approved', 'Pago en dos cuotas');

INSERT INTO budget_items (id, budget_id, service_id, quantity, unit_price, subtotal) VALUES
  (1, 1, 1, 1, 1500.00, 1500.00),
  (2, 1, 3, 1, 3800.00, 3800.00);

INSERT INTO payments (id, patient_id, budget_id, amount, payment_method, notes, processed_by) VALUES
  (1, 1, 1, 2650.00, 'transfer', 'Primera cuota', 4);

INSERT INTO consents (id, patient_id, procedure_name, content) VALUES
  (1, 2, 'Extracción de cordal', 'Entiendo los riesgos y los acepto.'),
  (2, 3, 'Sedación consciente', 'Firma la madre o el padre.');

INSERT INTO inventory (id, name, description, category, unit, stock, min_stock, price) VALUES
  (1, 'Guantes de nitrilo', 'Talla M', 'Desechables', 'caja', 12, 10, 650.00),
  (2, 'Anestesia (lidocaína 2 %)', NULL, 'Medicamentos', 'cartucho', 80, 25, 95.50),
  (3, 'Resina compuesta A2', NULL, 'Materiales', 'jeringa', 9, 3, 1850.00);
